#include "actors/io_loop.hpp"

#include <caf/ref_counted.hpp>
#include <caf/resumable.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <future>
#include <mutex>
#include <utility>

namespace troupe {

/// What the I/O thread has to run, as one job of the multiplexer. Touched by that thread only.
class io_loop::round final : public caf::resumable, public caf::ref_counted {
public:
  round(caf::execution_unit* unit, caf::execution_unit* multiplexer) : unit_{unit}, multiplexer_{multiplexer} {}

  void add(caf::resumable* job) {
    jobs_.emplace_back(job, false);
    if (planned_) return;
    planned_ = true;
    ref();
    multiplexer_->exec_later(this);
  }

  subtype_t subtype() const override { return function_object; }

  resume_result resume(caf::execution_unit*, std::size_t throughput) override {
    for (std::size_t run = 0; run < jobs_max && !jobs_.empty(); ++run) {
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      if (job->resume(unit_, throughput) == resume_later) jobs_.push_back(std::move(job));
    }
    planned_ = !jobs_.empty();
    return planned_ ? resume_later : done;
  }

  void intrusive_ptr_add_ref_impl() override { ref(); }
  void intrusive_ptr_release_impl() override { deref(); }

private:
  /// Between two looks at the sockets: far more than a chain of actors is long.
  static constexpr std::size_t jobs_max = 256;

  caf::execution_unit* unit_;
  caf::execution_unit* multiplexer_;
  std::deque<caf::intrusive_ptr<caf::resumable>> jobs_; ///< at most one entry per actor
  bool planned_ = false;                                ///< the multiplexer has this round, or runs it
};

/// How many actors there are that have not ended. Kept by each of them.
class io_loop::roll {
public:
  void enter() {
    const std::lock_guard lock{mutex_};
    ++actors_;
  }
  void leave() {
    const std::lock_guard lock{mutex_};
    if (--actors_ == 0) emptied_.notify_all();
  }
  void wait_empty() {
    std::unique_lock lock{mutex_};
    emptied_.wait(lock, [this] { return actors_ == 0; });
  }

private:
  std::mutex mutex_;
  std::condition_variable emptied_;
  std::size_t actors_ = 0;
};

io_loop::io_loop(caf::actor_system& system, caf::io::network::multiplexer& sockets)
    : caf::execution_unit{&system},
      multiplexer_{&sockets},
      thread_{sockets.thread_id()},
      roll_{std::make_shared<roll>()},
      round_{caf::make_counted<round>(this, multiplexer_)} {}

io_loop::~io_loop() = default;

void io_loop::exec_later(caf::resumable* job) {
  if (job->subtype() == caf::resumable::io_actor && std::this_thread::get_id() == thread_)
    round_->add(job);
  else
    multiplexer_->exec_later(job); // through its pipe, which wakes it; an actor of the workers goes to them
}

void io_loop::post(std::function<void()> job) { multiplexer_->post(std::move(job)); }

void io_loop::enrol(caf::abstract_actor& actor) {
  roll_->enter();
  actor.attach_functor([roll = roll_] { roll->leave(); });
}

void io_loop::await_actors() {
  roll_->wait_empty();
  std::promise<void> came_out; // the thread is in the round that the last of them ended in, or was
  post([&came_out] { came_out.set_value(); });
  came_out.get_future().wait();
}

} // namespace troupe
