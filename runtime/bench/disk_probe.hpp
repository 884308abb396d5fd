/// What a sync costs on the disk that the stores are on.
#pragma once

#include <tl/expected.hpp>

#include <cstddef>
#include <filesystem>
#include <string>

namespace troupe::bench {

/// The median time, in microseconds, of appending 256 bytes to a new file of `folder` and fdatasync.
/// @errors a sentence that names the file.
tl::expected<double, std::string> probe_disk(const std::filesystem::path& folder, std::size_t appends);

} // namespace troupe::bench
