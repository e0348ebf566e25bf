"""Tells twistd of `twistd pushd`.

Every start of twistd imports this file, whatever it starts; so it names the server by
strings only, and nothing of it is loaded until it is asked for.
"""

from twisted.application.service import ServiceMaker

pushd = ServiceMaker("pushd", "pushd.cli.twistd", "An XMPP server with push built in.", "pushd")
