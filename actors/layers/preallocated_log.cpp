#include "actors/layers/preallocated_log.hpp"

#include <rocksdb/file_system.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

/// One log. RocksDB writes it through its own file, front to back; the zeros go in through a second descriptor.
class log_file final : public rocksdb::FSWritableFileOwnerWrapper {
public:
  log_file(std::unique_ptr<rocksdb::FSWritableFile> file, int zeros)
      : rocksdb::FSWritableFileOwnerWrapper{std::move(file)}, zeros_{zeros} {}
  ~log_file() override { ::close(zeros_); }

  /// Called before each write. An extension that fails costs speed only: the write itself will meet the full disk.
  void PrepareWrite(std::size_t offset, std::size_t bytes, const rocksdb::IOOptions&,
                    rocksdb::IODebugContext*) override {
    const auto end = offset + bytes;
    if (end <= filled_) return;
    if (bytes < log_step_bytes && !fill(std::max(filled_, offset), log_step_bytes)) return;
    filled_ = std::max(end, std::max(filled_, offset) + log_step_bytes);
  }

  rocksdb::IOStatus Close(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    const auto written = target()->GetFileSize(options, context);
    // What stays when this fails is what a crash leaves, too.
    if (::ftruncate(zeros_, static_cast<off_t>(written)) != 0) filled_ = 0;
    return target()->Close(options, context);
  }

private:
  bool fill(std::size_t from, std::size_t bytes) const {
    static constexpr std::array<char, 16'384> zeros{};
    while (bytes > 0) {
      const auto part = std::min(bytes, zeros.size());
      const auto written = ::pwrite(zeros_, zeros.data(), part, static_cast<off_t>(from));
      if (written <= 0) return false;
      from += static_cast<std::size_t>(written);
      bytes -= static_cast<std::size_t>(written);
    }
    return true;
  }

  const int zeros_;
  std::size_t filled_ = 0; ///< the file is this long, or longer
};

class file_system final : public rocksdb::FileSystemWrapper {
public:
  using rocksdb::FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "troupe.preallocated_log"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    auto made = target()->NewWritableFile(name, options, file, context);
    if (!made.ok() || !std::string_view{name}.ends_with(".log")) return made;
    if (const int zeros = ::open(name.c_str(), O_WRONLY | O_CLOEXEC); zeros >= 0)
      *file = std::make_unique<log_file>(std::move(*file), zeros);
    return made;
  }
};

} // namespace

rocksdb::Env* preallocated_log_env() {
  // Never destroyed, as RocksDB's own: a thread left behind may still write when the statics of the process go.
  static auto* const env =
      rocksdb::NewCompositeEnv(std::make_shared<file_system>(rocksdb::FileSystem::Default())).release();
  return env;
}

} // namespace troupe
