"""The failover controller: one scheduler writes at a time, and another within seconds."""
