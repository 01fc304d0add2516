"""What techniques share: protocols, models as data, diffusion tables, noise, arterial inputs."""
