"""What techniques share: protocols, models as data, diffusion tables, noise distributions, arterial inputs."""
