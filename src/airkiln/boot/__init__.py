"""From an instance's tags to its running role: boot, reload, and the signal to CloudFormation."""
