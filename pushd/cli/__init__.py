"""The command line: starting the server and operating it."""
