"""The architectures that llama.cpp's builds name, whether hettui has read them or not.

`LLM_ARCH_NAMES` of src/llama-arch.cpp of b11434; those of b10068 as its library holds them. A test compares both with
the build at hand.
"""

from __future__ import annotations

_NEWER = (
    "bailingmoe3 clef dots3note glm5-next granite_swa graniteswitch hrm_text hy_v4 kimi-k3 laguna maple minimax-01 "
    "minimax-m3 muse-glimmer nanbeige pockettts qwen3tts qwen4exp spark2_5 "
)
_OLDER = (
    "afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bert bitnet bloom chameleon chatglm clip "
    "codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 "
    "dflash dots1 dream eagle3 ernie4_5 ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 gemma "
    "gemma-embedding gemma2 gemma3 gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe gpt-oss gpt2 gptj gptneox "
    "granite granitehybrid granitemoe grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais jais2 "
    "jamba jina-bert-v2 jina-bert-v3 kimi-linear lfm2 lfm2moe llada llada-moe llama llama-embed llama4 maincoder "
    "mamba mamba2 mellum mimo2 minicpm minicpm3 minimax-m2 mistral3 mistral4 modern-bert mpt nemotron nemotron_h "
    "nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 "
    "phi3 phimoe plamo plamo2 plamo3 plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next "
    "qwen3vl qwen3vlmoe refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 stablelm starcoder "
    "starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse "
)

SINCE_OLDEST = frozenset(_NEWER.split())
"""In b11434 and not in b10068."""
IN_BUILDS = SINCE_OLDEST | frozenset(_OLDER.split())
"""In b11434, the newest build that hettui knows."""
