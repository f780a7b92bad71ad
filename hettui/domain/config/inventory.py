"""Configuration and found hardware, brought together: the devices of the cluster.

A device that the configuration names but that is not there stays in the cluster with the reason in `missing`:
a plan can be made for a machine that one is not sitting at, a start is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.config.values import DEFAULT_MARGIN_BYTES, Config, DeviceConfig
from hettui.domain.devices.device import LOCAL, Device, Hardware
from hettui.domain.devices.found import UNLISTED
from hettui.domain.devices.identity import engine_name, one_form, pci_address
from hettui.domain.errors import ConfigError
from hettui.domain.patterns import late_pattern

_MAKER = late_pattern(r"^(NVIDIA|AMD|Intel(\(R\))?)\s+((GeForce|Radeon|Arc(\(TM\))?)\s+(?=\S))?")


def assemble(config: Config, hardware: Sequence[Hardware], refused: Sequence[str] = ()) -> tuple[Device, ...]:
    """The configured devices in their order; without any, every GPU that was found, attached to the master.

    `refused`: what drivers said no to, in sentences: the reason why a card is not found.
    """
    if not config.devices:
        cards = _attached(hardware)
        return tuple(_found(card, name) for card, name in zip(cards, device_names(cards), strict=True))
    devices = tuple(_configured(entry, hardware, rank, refused) for rank, entry in enumerate(config.devices))
    seen: dict[tuple[str, str], str] = {}
    for device in devices:
        if device.backend == "cpu" or not device.id:
            continue
        first = seen.setdefault((device.host, device.id), device.name)
        if first != device.name:
            raise ConfigError(
                f'devices "{first}" and "{device.name}" are the same card, {device.id}: a card can be one device only'
            )
    return devices


def device_names(cards: Sequence[Hardware]) -> tuple[str, ...]:
    """`RTX 3060` for `NVIDIA GeForce RTX 3060`: short, since they stand everywhere; like cards get `#1`, `#2`."""
    short = [_MAKER.sub("", card.name).strip() or card.name for card in cards]
    ranks = [short[:place].count(name) + 1 for place, name in enumerate(short)]
    return tuple(f"{name} #{rank}" if short.count(name) > 1 else name for name, rank in zip(short, ranks, strict=True))


def _attached(hardware: Sequence[Hardware]) -> list[Hardware]:
    """The cards that are used when nobody says which.

    To the kernel a processor's graphics is a card as well: it is left out where there is a real one. A card that the
    engine does not list stays, with its reason and nothing to plan on, when it is NVIDIA's or there is nothing else.
    """
    cards = [card for card in hardware if card.backend != "cpu" and card.host == LOCAL]
    listed = [card for card in cards if card.engine_name]
    if any(not card.integrated for card in listed):
        return [c for c in cards if not c.integrated and (c.engine_name or c.backend == "cuda")]
    return listed or [c for c in cards if c.backend == "cuda" or c.total_bytes]


def _found(card: Hardware, name: str) -> Device:
    """A card of which llama.cpp gives nothing can hold nothing; without llama.cpp it is planned for."""
    return Device(
        name=name,
        id=card.id,
        backend=card.backend,
        engine_name=card.engine_name or "",
        uuid=card.uuid,
        pci_address=card.pci_address,
        budget_bytes=0 if card.trouble and not card.engine_name else _budget(card, DEFAULT_MARGIN_BYTES),
        bandwidth_bytes_per_s=card.bandwidth_bytes_per_s,
        missing=None if card.engine_name else f"{card.name}: {card.trouble or UNLISTED}",
    )


def _budget(card: Hardware | None, margin_bytes: int) -> int | None:
    """What is free less the margin; where that is not known, what there is at all."""
    size_bytes = None if card is None else card.total_bytes if card.free_bytes is None else card.free_bytes
    return None if size_bytes is None else max(0, size_bytes - margin_bytes)


def _configured(entry: DeviceConfig, hardware: Sequence[Hardware], rank: int, refused: Sequence[str]) -> Device:
    card = _match(entry, [one for one in hardware if one.host == entry.host])
    backend, listed_as, uuid = _identity(entry, card, rank)
    default_via = "worker" if backend == "cpu" or entry.host != LOCAL else "master"
    missing = None
    if entry.host == LOCAL and card is None:
        why = f". {'. '.join(refused)}" if refused else "; see hettui devices"
        missing = f'device "{entry.name}": nothing with id {entry.id or entry.name} is here{why}'
    elif card is not None and not listed_as and entry.host == LOCAL:
        missing = f'device "{entry.name}", {card.name}: {card.trouble or UNLISTED}'
    # A CPU's free memory is the whole machine's: without a stated budget nothing sensible can be planned on it.
    measured = None if backend == "cpu" else _budget(card, entry.margin_bytes)
    return Device(
        name=entry.name,
        id=card.id if card else one_form(entry.id) or "",
        host=entry.host,
        via=entry.via or default_via,  # type: ignore[arg-type]
        backend=backend,
        engine_name=listed_as,
        uuid=uuid,
        pci_address=card.pci_address if card else None,
        bandwidth_bytes_per_s=entry.bandwidth_bytes or (card.bandwidth_bytes_per_s if card else None),
        budget_bytes=entry.budget_bytes if entry.budget_bytes is not None else measured,
        locked=entry.locked,
        layers=entry.layers,
        threads=entry.threads,
        port=entry.port,
        expose=entry.expose,
        missing=missing,
    )


def _match(entry: DeviceConfig, hardware: Sequence[Hardware]) -> Hardware | None:
    if entry.id:
        wanted = one_form(entry.id) or entry.id
        like = [c for c in hardware if (one_form(c.id) or c.id) == wanted]
        like = like or [c for c in hardware if wanted in _names(c)]
    else:
        like = [c for c in hardware if entry.name.lower() in c.name.lower()]
    if len(like) > 1:
        raise ConfigError(
            f'device "{entry.name}" may be any of {len(like)} cards: say which with id = "{like[0].id}" or the like'
        )
    return like[0] if like else None


def _names(card: Hardware) -> set[str | None]:
    """What else it can be called by, each in its one form."""
    address, uuid = pci_address(card.pci_address), one_form(f"uuid:{card.uuid}") if card.uuid else None
    return {f"pci:{address}" if address else None, uuid, engine_name(card.engine_name)} - {None}


def _identity(entry: DeviceConfig, card: Hardware | None, rank: int) -> tuple[str, str, str | None]:
    """Backend, llama.cpp's name and UUID: from the card that was found, else from what the id itself says."""
    if card is not None:
        return card.backend, card.engine_name or "", card.uuid
    wanted = one_form(entry.id) or ""
    if wanted == "cpu":
        return "cpu", "CPU", None
    if wanted.startswith("uuid:"):
        return "cuda", "CUDA0", wanted.removeprefix("uuid:")
    if wanted.startswith("pci:") and entry.host != LOCAL:
        raise ConfigError(
            f'device "{entry.name}" on host "{entry.host}": a PCI address is only known on this machine; '
            "name it by uuid:GPU-… or by llama.cpp's name there, such as CUDA0"
        )
    if wanted and wanted == engine_name(wanted):
        return wanted.rstrip("0123456789").lower(), wanted, None
    if entry.host != LOCAL:
        return "cuda", "", None
    # Planned for elsewhere: cards that are named by PCI address are taken for NVIDIA's, in the order given.
    return "cuda", f"CUDA{rank}", None
