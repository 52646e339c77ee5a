"""What a client asks for, from the body of a request to the job that is queued."""
