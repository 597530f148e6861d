"""Which sections there are, and which of them a user wants. Standard library only."""

# Name, seconds, the programs it needs.
SECTIONS = (
    ("check", 100, ()),
    ("kernels", 90, ()),
    ("step", 130, ("dev.denoise",)),
    ("klein", 100, ("klein-4b.denoise",)),
    ("encode", 20, ("klein-4b.vae_encoder",)),
)
NAMES = tuple(name for name, _, _ in SECTIONS)


class UnknownSection(Exception):
    pass


def choose_sections(text):
    """The sections of names separated by commas, in the order of SECTIONS; all of them for an empty text."""
    wanted = [name.strip() for name in text.split(",")] if text.strip() else NAMES
    for name in wanted:
        if name not in NAMES:
            raise UnknownSection(f"there is no section '{name}'; of {', '.join(NAMES)}")
    return [section for section in SECTIONS if section[0] in wanted]
