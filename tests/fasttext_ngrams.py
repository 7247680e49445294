"""The n-grams of words and their buckets in plain Python, as fastText defines them."""


def buckets_of(word, subwords):
    """The buckets of the n-grams of a word, given as UTF-8 bytes.

    A transcript of `Dictionary::computeSubwords` and `Dictionary::hash` of fastText
    0.9.2, without its limit of words.
    """
    data = b"<" + word + b">"
    found = []
    for i in range(len(data)):
        if data[i] & 0xC0 == 0x80:
            continue
        ngram, j, n = b"", i, 1
        while j < len(data) and n <= subwords.longest:
            ngram += data[j : j + 1]
            j += 1
            while j < len(data) and data[j] & 0xC0 == 0x80:
                ngram += data[j : j + 1]
                j += 1
            is_boundary = n == 1 and (i == 0 or j == len(data))
            if n >= subwords.shortest and not is_boundary:
                found.append(_fnv1a(ngram) % subwords.buckets)
            n += 1
    return found


def _fnv1a(data):
    """The 32-bit FNV-1a hash, of bytes that are extended with their sign."""
    state = 2166136261
    for byte in data:
        signed = byte - 256 if byte >= 128 else byte
        state = ((state ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return state
