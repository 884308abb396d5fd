#include <troupe/error.hpp>

namespace troupe {

std::string error::message() const {
  auto out = std::string{name_of(code_)} + ": " + std::string{text_of(code_)};
  if (!detail_.empty()) out += " (" + detail_ + ")";
  return out;
}

} // namespace troupe
