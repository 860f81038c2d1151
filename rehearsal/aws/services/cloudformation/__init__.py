"""Plays CloudFormation: deploys templates as they are, through the local AWS's own service APIs.

README.md says which file does what, and what is only recorded.
"""
