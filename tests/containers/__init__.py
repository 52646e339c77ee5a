"""docker-compose.yml for real: `make compose-test`, by Docker or podman. Not in the suite."""
