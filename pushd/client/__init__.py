"""A small XMPP client for the demonstration, the tests and the benchmarks."""
