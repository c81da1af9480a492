"""What it takes to get splitport onto boards: wheels, a service, a container."""
