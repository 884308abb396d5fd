#include "runtime/bench/disk_probe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

namespace troupe::bench {

tl::expected<double, std::string> probe_disk(const std::filesystem::path& folder, std::size_t appends) {
  using clock = std::chrono::steady_clock;
  const auto path = folder / "probe";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::array<char, 256> bytes{};
  std::vector<double> times;
  bool sound = file >= 0;
  while (sound && times.size() < appends) {
    const auto begun = clock::now();
    sound = ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && ::fdatasync(file) == 0;
    times.push_back(std::chrono::duration<double, std::micro>(clock::now() - begun).count());
  }
  const int error = errno;
  if (file >= 0) ::close(file);
  ::unlink(path.c_str());
  if (!sound || times.empty()) return tl::unexpected{path.string() + ": " + std::generic_category().message(error)};
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

} // namespace troupe::bench
