"""The engine that many nodes share: Redis or Valkey, alone, under sentinels or as a cluster."""
