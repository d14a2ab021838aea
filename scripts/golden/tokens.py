"""Golden token ids by Transformers, for both models: strings with special tokens taken as such and as plain text, and chats.

usage: python scripts/golden/tokens.py SMOLLM2.gguf     writes test/golden/tokens-smollm2.json and tokens-tiny.json
"""
import json
import sys
from pathlib import Path

from strings import conversations, strings
from tokenizers_of import parsed, plain, smollm2_tokenizer, special_tokens, tiny_tokenizer

OUT = Path(__file__).parents[2] / "test" / "golden"
MARK = "\ue0ff"  # a private character that no string here contains


def marked(text, specials):
    """The text with a mark inside every special token, so that none is one any more."""
    for token in specials:
        text = text.replace(token, token[0] + MARK + token[1:])
    return text


def safe_ids(tokenizer, messages, add_generation_prompt):
    """Ids of a chat in which only the template's special tokens count: those that people wrote are plain text."""
    specials = special_tokens(tokenizer)
    hidden = [{**message, "content": marked(message["content"], specials)} for message in messages]
    rest = tokenizer.apply_chat_template(hidden, tokenize=False, add_generation_prompt=add_generation_prompt)
    ids = []
    while rest:
        at, token = min(((rest.find(token), token) for token in specials if token in rest), default=(len(rest), None))
        ids += plain(tokenizer, rest[:at].replace(MARK, ""))
        if token:
            ids.append(specials[token])
        rest = rest[at + len(token or "") :]
    return ids


def chat(tokenizer, messages, add_generation_prompt):
    """One conversation: its text, its ids as Transformers gives them, and its ids with the messages' special tokens as plain text."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, add_generation_prompt=add_generation_prompt)
    safe = safe_ids(tokenizer, messages, add_generation_prompt)
    assert ids == parsed(tokenizer, text)
    if not any(token in message["content"] for token in special_tokens(tokenizer) for message in messages):
        assert safe == ids
    return {"messages": messages, "addGenerationPrompt": add_generation_prompt, "text": text, "parsedIds": ids, "ids": safe}


def write(name, tokenizer):
    """One golden file; every string's plain ids must decode to the string itself unless bytes are missing from the vocabulary."""
    cases = [{"text": text, "parsed": parsed(tokenizer, text), "plain": plain(tokenizer, text)} for text in strings()]
    lossy = sum(tokenizer.decode(case["plain"]) != case["text"] for case in cases)
    differ = sum(case["parsed"] != case["plain"] for case in cases)
    chats = [chat(tokenizer, messages, prompt) for messages in conversations() for prompt in (False, True)]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    talk = ",\n".join(json.dumps(case, separators=(",", ":")) for case in chats)
    path = OUT / f"tokens-{name}.json"
    path.write_text(f'{{"model":"{name}","strings":[\n{lines}\n],"chats":[\n{talk}\n]}}\n')
    print(f"{path.name}: {len(cases)} strings ({differ} differ between the modes, {lossy} lose bytes), {len(chats)} chats, {path.stat().st_size} bytes")


if __name__ == "__main__":
    write("smollm2", smollm2_tokenizer(sys.argv[1]))
    write("tiny", tiny_tokenizer())
