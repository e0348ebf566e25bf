"""The ground: pure values of the protocol, no sockets and no clock."""
