"""The processes of a service on this machine: how they start, listen, die and end."""
