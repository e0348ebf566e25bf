# pushd in a container; docs/operating.rst says how it is run.
#
#   docker build -t pushd .
#   docker run -d --name pushd --read-only --tmpfs /tmp --cap-drop ALL --stop-timeout 90 \
#     --security-opt no-new-privileges --ulimit nofile=65536:65536 -p 5222:5222 -p 5223:5223 \
#     -v pushd-data:/var/lib/pushd -v /etc/pushd:/etc/pushd:ro pushd

FROM python:3.11-slim AS build

WORKDIR /src
RUN ["python", "-m", "venv", "/opt/pushd"]
COPY requirements/run.txt requirements/run.txt
RUN ["/opt/pushd/bin/pip", "install", "--no-cache-dir", "--require-hashes", "-r", "requirements/run.txt"]
COPY setup.cfg pyproject.toml MANIFEST.in README.rst LICENSE ./
COPY pushd pushd
COPY twisted twisted
RUN ["/opt/pushd/bin/pip", "install", "--no-cache-dir", "--no-deps", "--no-build-isolation", "."]
# Twisted keeps a list of its plugins beside them, which nobody can write later.
RUN ["/opt/pushd/bin/twistd", "--help"]

FROM python:3.11-slim

RUN groupadd --system --gid 5222 pushd \
    && useradd --system --uid 5222 --gid pushd --home-dir /var/lib/pushd --no-create-home \
        --shell /usr/sbin/nologin pushd \
    && install -d -o pushd -g pushd -m 0700 /var/lib/pushd \
    && install -d -o root -g pushd -m 0750 /etc/pushd
COPY --from=build /opt/pushd /opt/pushd

ENV PATH=/opt/pushd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER pushd
WORKDIR /var/lib/pushd
VOLUME ["/var/lib/pushd"]
# Clients by STARTTLS and by direct TLS. The metrics stay inside.
EXPOSE 5222 5223
STOPSIGNAL SIGTERM
# The configuration has `listen: {metrics: ["127.0.0.1:5270"]}` for this.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5270/healthz', timeout=4)"]
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile=", "pushd"]
CMD ["--config", "/etc/pushd/pushd.yml"]
