"""Tables: what is kept over a restart, and when it is durable."""
