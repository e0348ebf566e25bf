"""Clients that know XEP-0357 and nothing of app servers: a person fills in the form.

Converse.js has in its configuration what came of it, and Smack gets it from its application.
Converse.js writes the options without a type on FORM_TYPE's field; Smack enables without any
where it is given none, which is for a service that asks for none.
"""

from typing import ClassVar

from pushd.wire import forms
from pushd.wire.element import child
from pushd.wire.namespaces import NS_COMMANDS, NS_PUSH
from tests.scenarios.devices.device import Device, command_form, status
from tests.scenarios.reading import succeeded


class Converse(Device):
    """With the form of a generic client of ad-hoc commands, such as Gajim's or Psi's."""

    resource = "converse.js-1234567"
    command: ClassVar[str] = "register-push-fcm"

    def _execute(self, node: str, more: str = "", form: str = "") -> forms.Form | None:
        answer = self.ask(
            f"<iq type='set' to='{self.app_server}' id='{{id}}'>"
            f"<command xmlns='{NS_COMMANDS}' node='{node}'{more}>{form}</command></iq>"
        )
        self.status = status(answer)
        command = child(succeeded(answer), NS_COMMANDS, "command")
        assert command is not None
        self.session = command["sessionid"]
        return command_form(answer) if forms.find(command) is not None else None

    def register(self) -> None:
        offered = self._execute(self.command, " action='execute'")
        assert self.status == "executing"
        assert offered is not None
        assert {"token", "device-id", "device-name"} <= offered.fields.keys()
        person = {"token": self.token, "device-name": "the browser"}
        fields = "".join(
            f"<field var='{name}'><value>{person.get(name, ''.join(values))}</value></field>"
            for name, values in offered.fields.items()
        )
        done = self._execute(
            self.command,
            f" action='complete' sessionid='{self.session}'",
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
            f"<value>{offered.form_type}</value></field>{fields}</x>",
        )
        assert self.status == "completed"
        assert done is not None
        [self.jid], [self.node] = done.fields["jid"], done.fields["node"]
        [self.secret] = done.fields["secret"]

    def enable(self) -> None:
        succeeded(
            self.ask(
                f"<iq type='set' id='{{id}}'><enable xmlns='{NS_PUSH}' jid='{self.jid}'"
                f" node='{self.node}'><x xmlns='jabber:x:data' type='submit'>"
                "<field var='FORM_TYPE'>"
                "<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
                f"<field var='secret'><value>{self.secret}</value></field></x></enable></iq>"
            )
        )

    def disable(self) -> None:
        """It names the service alone."""
        succeeded(
            self.ask(
                f"<iq type='set' id='{{id}}'><disable xmlns='{NS_PUSH}' jid='{self.jid}'/></iq>"
            )
        )

    def unregister(self) -> None:
        self._execute("unregister-push", " action='execute'")
        assert self.status == "completed"


class Smack(Converse):
    """`PushNotificationsManager`, whose options are a form of type submit."""

    resource = "Smack"

    def disable(self) -> None:
        succeeded(
            self.ask(
                f"<iq id='{{id}}' type='set'><disable xmlns='{NS_PUSH}' jid='{self.jid}'"
                f" node='{self.node}'/></iq>"
            )
        )
