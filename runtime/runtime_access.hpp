/// The way into a runtime for what is part of the product and not of the API: faces, the command line, tests.
#pragma once

#include <troupe/runtime.hpp>

#include "runtime/assembly.hpp"
#include "runtime/runtime_impl.hpp"

#include <functional>

namespace troupe {

class runtime_access {
public:
  explicit runtime_access(const runtime& of) : impl_(of.impl_) {}

  const node_config& settings() const { return impl_->settings(); }
  const node_clock& clock() const { return impl_->clock(); }
  operation_meter& meter() const { return impl_->meter(); }

  const std::shared_ptr<audit_feed>& audit() const { return impl_->audit(); }
  /// See runtime_impl.
  void audit_with(std::shared_ptr<audit_feed> feed) const { impl_->audit_with(std::move(feed)); }

  /// Runs `use` on the parts, which stay while it runs; false when the runtime is stopped. stop() waits for `use`, so
  /// keep it short, and keep none of the references.
  bool with_parts(const std::function<void(assembly&)>& use) const { return impl_->with_parts(use); }

  /// Starts a runtime in a system that somebody else made; see start_in.
  static result<runtime> start_in(caf::actor_system& system, const config& configuration) {
    auto impl = runtime_impl::start(configuration, &system);
    if (!impl) return tl::unexpected{impl.error()};
    return runtime{std::move(*impl)};
  }

private:
  std::shared_ptr<runtime_impl> impl_;
};

} // namespace troupe
