"""The service in a few readable tests, one idea each; start with test_life_of_a_request.py."""
