"""The failover controller: one scheduler writes at a time, and another takes over within seconds."""
