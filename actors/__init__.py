"""The Ray runtime that hosts the service, and where its parts are put together."""
