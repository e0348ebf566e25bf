"""What APNs says when it refuses: a status, and the reason in a JSON object.

Read from Apple's "Handling notification responses from APNs".
"""

from dataclasses import dataclass

from pushd.simulators.web import Reply

# By Apple's name, the HTTP status each comes with. All of them can be scripted.
REASONS = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "BadEnvironmentKeyIdInToken": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}


class Refused(Exception):
    """APNs refuses a request, for one of REASONS."""

    def __init__(self, reason: str, dead_since: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.dead_since = dead_since  # seconds since the epoch, with 410


@dataclass(frozen=True, slots=True)
class Said:
    """The headers that answer any request."""

    id: str

    def accepted(self, unique_id: str = "") -> Reply:
        """200 without a body; the sandbox adds a `unique_id`, by which Apple's console finds it."""
        unique = {"apns-unique-id": unique_id} if unique_id else {}
        return Reply(200, b"", {"apns-id": self.id} | unique)

    def refused(
        self, reason: str, dead_since: float | None = None, status: int | None = None
    ) -> Reply:
        """The reason, and with 410 since when the token is dead, in milliseconds."""
        body: dict[str, object] = {"reason": reason}
        if dead_since is not None:
            body["timestamp"] = int(dead_since * 1000)
        said = Reply.json(status or REASONS[reason], body)
        return Reply(said.status, said.body, dict(said.headers) | {"apns-id": self.id})
