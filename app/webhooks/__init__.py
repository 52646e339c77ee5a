"""Webhooks: when a job has ended, its client's URL is told, signed, until it says that it knows.

By the Standard Webhooks specification (https://www.standardwebhooks.com).
"""
