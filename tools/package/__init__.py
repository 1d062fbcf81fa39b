"""Packages: `python -m tools.package [FOLDER]` writes the wheel, the .deb, the SBOM, the man pages and checksums."""
