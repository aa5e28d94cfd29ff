"""Workers of one server to each other: what verified goes to the worker that decides for it."""
