"""A client of MongooseIM, as its guide "Using push notifications on the client side" has it."""

from pushd.wire.namespaces import NS_PUBSUB, NS_PUSH
from tests.scenarios.devices.device import Device, disabling
from tests.scenarios.house import DOMAIN, PUSH_HOST
from tests.scenarios.reading import succeeded


class MongooseIMClient(Device):
    network = "apns"
    dialect = "mongooseim"
    resource = "MongooseIM-iPhone"

    def register(self) -> None:
        self.jid, self.node = PUSH_HOST, f"punsub_node_for_my_private_iphone_{self.number}"
        succeeded(
            self.ask(
                f"<iq type='set' to='{self.jid}' id='{{id}}'><pubsub xmlns='{NS_PUBSUB}'>"
                f"<create node='{self.node}' type='push'/><configure>"
                "<x xmlns='jabber:x:data' type='submit'>"
                "<field var='FORM_TYPE' type='hidden'>"
                "<value>http://jabber.org/protocol/pubsub#node_config</value></field>"
                "<field var='pubsub#access_model'><value>whitelist</value></field>"
                "<field var='pubsub#publish_model'><value>publishers</value></field>"
                "</x></configure></pubsub></iq>"
            )
        )
        succeeded(
            self.ask(
                f"<iq to='{self.jid}' type='set' id='{{id}}'><pubsub xmlns='{NS_PUBSUB}#owner'>"
                f"<affiliations node='{self.node}'>"
                f"<affiliation jid='{DOMAIN}' affiliation='publish-only'/>"
                "</affiliations></pubsub></iq>"
            )
        )

    def enable(self) -> None:
        succeeded(
            self.ask(
                f"<iq type='set' id='{{id}}'><enable xmlns='{NS_PUSH}' jid='{self.jid}'"
                f" node='{self.node}'><x xmlns='jabber:x:data' type='submit'>"
                "<field var='FORM_TYPE'>"
                "<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
                "<field var='service'><value>apns</value></field>"
                f"<field var='device_id'><value>{self.token}</value></field>"
                "<field var='silent'><value>false</value></field>"
                "<field var='topic'><value>com.example.app</value></field>"
                "<field var='priority'><value>high</value></field>"
                "</x></enable></iq>"
            )
        )

    def disable(self) -> None:
        succeeded(self.ask(disabling(self)))

    def unregister(self) -> None:
        succeeded(
            self.ask(
                f"<iq type='set' to='{self.jid}' id='{{id}}'>"
                f"<pubsub xmlns='{NS_PUBSUB}#owner'><delete node='{self.node}'/></pubsub></iq>"
            )
        )
