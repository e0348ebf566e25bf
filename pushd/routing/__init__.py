"""The hall: sessions, delivery, requests and events."""
