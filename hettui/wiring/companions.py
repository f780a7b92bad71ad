"""Opens what is loaded beside a model: a projector, LoRA adapters."""

from __future__ import annotations

from dataclasses import replace

from hettui.adapters.llama.gguf import read_model
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import ConfigError
from hettui.domain.llama.build import NEWEST_BUILD, EngineInfo
from hettui.domain.llama.params import DRAFT_MTP, RuntimeParams, scaled
from hettui.domain.memory.workload import Workload
from hettui.domain.model.companions import ALONE, Companions, no_adapter, no_projector
from hettui.domain.model.shape import ModelShape
from hettui.domain.text import clean_line


def read_companions(params: RuntimeParams, shape: ModelShape) -> Companions:
    """The headers of the settings' files. Raises ModelFileError, and ConfigError for one that llama.cpp would not take
    for this model."""
    if not (params.mmproj or params.lora):
        return ALONE
    projector, adapters = None, []
    mtp = params.draft is not None and params.draft.type == DRAFT_MTP
    if params.mmproj:
        projector = read_model(params.mmproj)
        if why := no_projector(projector):
            raise ConfigError(f"mmproj {clean_line(params.mmproj, 300)}: {why}")
    for said in params.lora:
        adapters.append(read_model(scaled(said)[0]))
        if why := no_adapter(adapters[-1], shape, with_mtp=mtp):
            raise ConfigError(f"lora {clean_line(said, 300)}: {why}")
    return Companions(projector, tuple(adapters))


def with_companions(
    config: Config, shape: ModelShape | None, devices: tuple[Device, ...], engine: EngineInfo | None,
    draft: ModelShape | None,
) -> tuple[Config, Companions]:  # fmt: skip
    """The configuration with a place for its projector, and what lies beside the model. Raises as `read_companions`."""
    if shape is None:
        return config, ALONE
    found = read_companions(config.params, shape)
    if found.projector is None:
        return config, found
    from hettui.domain.planner.drafts import with_projector_placed

    build = NEWEST_BUILD if engine is None else engine.build
    workload = Workload(shape, config.params, build, config.serving.extra_args, draft, found)
    return replace(config, params=with_projector_placed(workload, devices)), found


def alone(params: RuntimeParams) -> RuntimeParams:
    """The settings for another model: what lies beside this one was made for it."""
    return replace(params, mmproj="", lora=(), control_vector=())
