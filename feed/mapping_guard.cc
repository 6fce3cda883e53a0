// SPDX-License-Identifier: Apache-2.0
#include "feed/mapping_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <mutex>

namespace tickbridge {
namespace {

std::array<MappingGuard::Slot, MappingGuard::kMax> slots;
std::mutex slots_mutex;
struct sigaction previous;
bool installed = false;

void OnBusError(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  char* const address = static_cast<char*>(info->si_addr);
  for (MappingGuard::Slot& slot : slots) {
    char* const base = slot.base.load(std::memory_order_acquire);  // (1) pairs with (2)
    if (base == nullptr || address < base) continue;
    const size_t bytes = slot.bytes.load(std::memory_order_relaxed);
    if (static_cast<size_t>(address - base) >= bytes) continue;
    slot.lost.store(true, std::memory_order_relaxed);
    // A plain system call: safe here. In one step for the other threads, which find the old pages or the new ones.
    if (::mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
        MAP_FAILED) {
      break;
    }
    errno = saved;
    return;
  }
  errno = saved;
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(number, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(number);
  ::signal(SIGBUS, SIG_DFL);  // the access is made again, and ends the process
}

}  // namespace

bool MappingGuard::Guard(void* base, size_t bytes) noexcept {
  Release();
  const std::lock_guard lock(slots_mutex);
  if (!installed) {
    struct sigaction action{};
    action.sa_sigaction = &OnBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&action.sa_mask);
    if (::sigaction(SIGBUS, &action, &previous) != 0) return false;
    installed = true;
  }
  for (Slot& slot : slots) {
    if (slot.base.load(std::memory_order_relaxed) != nullptr) continue;
    slot.lost.store(false, std::memory_order_relaxed);
    slot.bytes.store(bytes, std::memory_order_relaxed);
    slot.base.store(static_cast<char*>(base), std::memory_order_release);  // (2)
    slot_ = &slot;
    return true;
  }
  return false;
}

void MappingGuard::Release() noexcept {
  if (slot_ == nullptr) return;
  slot_->base.store(nullptr, std::memory_order_release);
  slot_ = nullptr;
}

}  // namespace tickbridge
