"""What the endorser uses of the world: the registry, the broker, files of vendors, packages and captures."""
