"""What a machine of a job does before it trains."""
