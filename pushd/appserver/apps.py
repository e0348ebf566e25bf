"""An app: what was configured as one backend of the push service."""

from dataclasses import dataclass

from pushd.providers.contract import Provider


@dataclass(slots=True, eq=False)
class App:
    """One app at one provider, with the hosts where devices register and servers publish."""

    name: str  # unique among all backends; the dispatcher knows it by this name
    provider: Provider  # exchanged when the configuration is read anew
    register_host: str
    pubsub_host: str
    app_name: str
    tigase_names: tuple[str, ...] = ()  # of its provider, in Tigase's commands
    push_modules: tuple[str, ...] = ()  # as apps without registrations name it
    topic: str = ""  # where a provider has such

    @property
    def type_names(self) -> frozenset[str]:
        """What its provider is called in `register-push-TYPE`."""
        return self.provider.aliases | {self.provider.type}
