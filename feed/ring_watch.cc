// SPDX-License-Identifier: Apache-2.0
#include "feed/ring_watch.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/log.h"

namespace tickbridge {

RingWatch::~RingWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void RingWatch::Start() {
  // Signals meant for the process are not for this thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigdelset(&all, SIGBUS);  // of a truncated ring: feed/mapping_guard.h
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void RingWatch::Run() noexcept {
  ::pthread_setname_np(::pthread_self(), "rings");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    Look();
    lock.lock();
    stop_.wait_for(lock, std::chrono::nanoseconds(options_.interval_ns), [this] { return stopping_; });
  }
}

void RingWatch::TakeNow(std::vector<Ring*>* rings) noexcept {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;  // in the next duty cycle
  rings->insert(rings->end(), arrivals_.begin(), arrivals_.end());
  arrivals_.clear();
  arrived_.store(false, std::memory_order_relaxed);  // under the mutex
}

void RingWatch::Look() {
  for (auto at = rings_.begin(); at != rings_.end();) {
    // Acquire pairs with the runner's release: it touches the ring no more.
    if (at->second->done.load(std::memory_order_acquire)) {
      at = rings_.erase(at);
    } else {
      LookAt(at->first, at->second.get());
      ++at;
    }
  }
  for (const std::string& path : Paths()) {
    if (!rings_.contains(path)) Try(path);
  }
}

void RingWatch::LookAt(const std::string& path, Ring* ring) {
  const bool is_there = ring->file->PublisherIsThere();
  ring->publisher_is_there.store(is_there, std::memory_order_release);
  if (ring->file->IsTruncated()) {
    Complain(path, absl::StrCat("ring ", path,
                                ": another process truncated it; what was in it is lost, and its "
                                "publisher must be restarted"));
  }
  const auto superseded = static_cast<uint32_t>(RingHeader::State::kSuperseded);
  if (ring->file->header().state.load(std::memory_order_acquire) == superseded ||
      (!ring->file->IsInPlace() && (!is_there || ::access(path.c_str(), F_OK) == 0))) {
    ring->replaced.store(true, std::memory_order_release);
  }
}

void RingWatch::Try(const std::string& path) {
  RingError error;
  std::unique_ptr<RingFile> file = RingFile::OpenForBridge(path, &error);
  if (file == nullptr) {
    // One that is not there yet is no error: its publisher makes it.
    if (error.code == RingErrorCode::kNotFound) {
      complaints_.erase(path);
    } else {
      Complain(path, error.message);
    }
    return;
  }
  complaints_.erase(path);
  Log(LogLevel::kInfo, absl::StrCat("feed ", options_.feed, ": reads the ring ", path));
  auto ring = std::make_unique<Ring>(std::move(file));
  ring->publisher_is_there.store(ring->file->PublisherIsThere(), std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  arrivals_.push_back(ring.get());
  rings_.emplace(path, std::move(ring));
  arrived_.store(true, std::memory_order_release);
}

void RingWatch::Complain(const std::string& path, const std::string& message) {
  std::string& last = complaints_[path];
  if (last == message) return;
  last = message;
  Log(LogLevel::kError, absl::StrCat("feed ", options_.feed, ": ", message));
}

std::vector<std::string> RingWatch::Paths() {
  if (!options_.path.empty()) return {options_.path};
  std::vector<std::string> paths;
  DIR* const folder = ::opendir(options_.folder.c_str());
  if (folder == nullptr) {
    Complain(options_.folder, absl::StrCat("folder ", options_.folder, ": ", std::strerror(errno)));
    return paths;
  }
  complaints_.erase(options_.folder);
  while (const dirent* const entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name.ends_with(kRingSuffix) && !name.starts_with(".")) {
      paths.push_back(absl::StrCat(options_.folder, "/", name));
    }
  }
  ::closedir(folder);
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace tickbridge
