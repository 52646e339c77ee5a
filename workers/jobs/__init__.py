"""The contract between API and workers: jobs, tasks and images over Redis.

Knows no torch, no HTTP and no PNG: embeddings, artifacts and images are bytes here.
"""
