// Ids and names: how they are made and what they may look like.
#pragma once

#include <string>
#include <string_view>

namespace wrenn {

// `count` random bytes from the kernel's CSPRNG (getrandom(2)).
std::string RandomBytes(size_t count);

// `count` random hex digits.
std::string RandomHex(size_t count);

// An id: the prefix, '-', and 20 random characters of [a-z0-9], e.g. "sb-0f3k9...". It is a DNS
// label with room for "{port}-" in front.
std::string NewId(std::string_view prefix);

// Whether `text` is an id as NewId(prefix) makes it. Checked before an id touches a path.
bool IsId(std::string_view prefix, std::string_view text);

// Whether `text` may be a name (of a template, a tag, a key): 1 to 63 characters of [a-z0-9._-],
// beginning and ending with a letter or digit.
bool IsName(std::string_view text);

// Whether the two are the same, in time that does not depend on where they differ.
bool EqualSecrets(std::string_view a, std::string_view b);

}  // namespace wrenn
