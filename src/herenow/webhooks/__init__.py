"""What the server tells an application's backend."""
