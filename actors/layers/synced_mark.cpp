#include "actors/layers/synced_mark.hpp"

#include "protocol/wire.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

namespace troupe {

namespace {

constexpr std::string_view magic = "troupe/1";

/// As it stands in the file, in the byte order of the machine: a store does not move between architectures. Far
/// smaller than a sector, so that a loss of power leaves the old or the new one.
struct mark_image {
  char kind[8];
  std::uint64_t disk;
  std::uint64_t count;
  std::uint64_t checksum;
};
static_assert(sizeof(mark_image) == 32 && magic.size() == sizeof mark_image::kind);

store_error failure(const std::filesystem::path& file, std::string_view what) {
  return {file.string() + " " + std::string{what} + ": " + std::generic_category().message(errno)};
}

} // namespace

synced_mark::synced_mark(synced_mark&& other) noexcept
    : file_{std::exchange(other.file_, -1)}, disk_{other.disk_}, count_{other.count_}, lags_{other.lags_} {}

synced_mark::~synced_mark() {
  if (file_ >= 0) ::close(file_); // gives the lock back
}

tl::expected<synced_mark, store_error> synced_mark::create(const std::filesystem::path& file, std::uint64_t disk,
                                                           std::uint64_t count) {
  synced_mark mark{::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640)};
  if (mark.file_ < 0) return tl::unexpected{failure(file, "cannot be made")};
  if (::flock(mark.file_, LOCK_EX | LOCK_NB) != 0) return tl::unexpected{failure(file, "cannot be locked")};
  mark.disk_ = disk;
  if (!mark.raise(count) || !mark.sync()) return tl::unexpected{failure(file, "cannot be written")};
  return mark;
}

tl::expected<synced_mark, store_error> synced_mark::open(const std::filesystem::path& file) {
  synced_mark mark{::open(file.c_str(), O_RDWR | O_CLOEXEC)};
  if (mark.file_ < 0) return tl::unexpected{failure(file, "cannot be opened")};
  if (::flock(mark.file_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return tl::unexpected{failure(file, "cannot be locked")};
    return tl::unexpected{store_error{"store " + file.parent_path().string() + " is in use by another process"}};
  }
  mark_image image{};
  const auto size = ::pread(mark.file_, &image, sizeof image, 0);
  if (size < 0) return tl::unexpected{failure(file, "cannot be read")};
  if (size != sizeof image || std::memcmp(image.kind, magic.data(), magic.size()) != 0
      || image.checksum != checksum_of(image.disk, image.count, magic)) {
    return tl::unexpected{store_error{file.string() + " is damaged: how far the store was synced is not known"}};
  }
  mark.disk_ = image.disk;
  mark.count_ = image.count;
  return mark;
}

bool synced_mark::raise(std::uint64_t count) {
  count_ = count;
  lags_ = true;
  return write();
}

bool synced_mark::sync() {
  lags_ = false;
  return ::fdatasync(file_) == 0;
}

bool synced_mark::write() const {
  mark_image image{.kind = {}, .disk = disk_, .count = count_, .checksum = checksum_of(disk_, count_, magic)};
  std::memcpy(image.kind, magic.data(), magic.size());
  return ::pwrite(file_, &image, sizeof image, 0) == sizeof image;
}

} // namespace troupe
