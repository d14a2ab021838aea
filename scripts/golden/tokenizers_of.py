"""The two models' tokenizers as Transformers sees them, made without any code of the engine."""
import json
from pathlib import Path

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TINY = Path(__file__).parents[2] / "models" / "tiny"


def tiny_tokenizer():
    """The bundled model's tokenizer, from its own source files."""
    settings = json.loads((TINY / "tokenizer_config.json").read_text(encoding="utf8"))
    return PreTrainedTokenizerFast(
        tokenizer_file=str(TINY / "tokenizer.json"),
        bos_token=settings["bos_token"],
        eos_token=settings["eos_token"],
        chat_template=settings["chat_template"],
        clean_up_tokenization_spaces=False,
    )


def smollm2_tokenizer(path):
    """SmolLM2's tokenizer, rebuilt from the metadata of its GGUF.

    The pre-tokenizer named `smollm` splits digits one by one, then as GPT-2 does. The vocabulary lacks 21 of the 256 bytes and has no
    unknown token in its BPE model: such bytes vanish, in Transformers and llama.cpp alike.
    """
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(merge.split(" ")) for merge in merges]))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"].contents()],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"].contents()],
        chat_template=fields["tokenizer.chat_template"].contents(),
        clean_up_tokenization_spaces=False,
    )


def special_tokens(tokenizer):
    """Every special token's text and id."""
    return {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def parsed(tokenizer, text):
    """Ids of a text whose special tokens count as such."""
    return tokenizer(text, add_special_tokens=False).input_ids


def plain(tokenizer, text):
    """Ids of a text in which special tokens are ordinary characters."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
