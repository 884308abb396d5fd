/// Operations on their way to an auditor.
#pragma once

#include "actors/auditor.hpp"
#include "protocol/check/history.hpp"
#include "protocol/cluster.hpp"
#include "protocol/wire/record.pb.h"
#include "protocol/wire/strong.pb.h"

#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// One operation that an auditor is told of when it has ended.
class operation_audit {
public:
  struct subject {
    std::string_view type;
    std::string_view key; ///< as stored
    level given = level::strong;
    std::uint64_t session = 0; ///< 0 = of no session that promises anything
  };

  /// None: the operation is not sampled, or promises nothing that an audit of this node could see.
  /// @param feed  null = nothing is audited.
  static std::optional<operation_audit> of(const std::shared_ptr<audit_feed>& feed, const cluster& shape,
                                           const subject& about, const v1::Operation& operation, instant called);

  /// For who reads without an operation.
  static const v1::Operation& a_get();

  /// Once, when the answer is here and nobody has seen it yet.
  void end(const v1::Result& answer, instant returned);

private:
  std::shared_ptr<audit_feed> feed_;
  check::audited call_;
};

} // namespace troupe
