"""What `quickeye stream` is made of: frames from somewhere, sent to a server, and shown."""
