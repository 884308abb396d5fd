#include "runtime/token_seal.hpp"

#include <utility>

namespace troupe {

result<std::string> token_seal::seal(const v1::SessionVector& seen) const {
  auto text = session_token::seal(keys, cluster, session_token::from_wire(seen, session_token::hash_of(region)));
  if (!text) return tl::unexpected{error{text.error().code, text.error().detail}};
  return std::move(*text);
}

result<v1::SessionVector> token_seal::open(std::string_view text) const {
  auto opened = session_token::open(keys, cluster, text);
  if (opened && !opened->earlier.empty())
    if (auto expanded = opened->expand({}); !expanded) opened = tl::unexpected{std::move(expanded.error())};
  if (!opened) return tl::unexpected{error{opened.error().code, opened.error().detail}};
  v1::SessionVector out;
  session_token::to_wire(session_token::taken_to(session_token::hash_of(region), std::move(*opened)), out);
  return out;
}

} // namespace troupe
