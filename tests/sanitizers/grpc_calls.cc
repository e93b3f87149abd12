// Linked into what is built with ThreadSanitizer: tells it of the order that gRPC promises.
//
// Debian's gRPC, built without ThreadSanitizer, brings it about by atomic operations that are not
// seen. The functions here take the place of the library's, which they call:
// - What was done before operations are started happens before what is done when they are complete:
//   their tag stands for that.
// - All reactions to a call on the server happen before its last, OnDone.
// - OnDone of all calls happens before the end of their server.
// - What was done with a slice happens before the memory that it shares is given back, and what was
//   done before it is sent before it is read where it arrives, which within a process is the same.
#include <dlfcn.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <link.h>
#include <sanitizer/tsan_interface.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Run = void (*)(grpc_completion_queue_functor*, int);
using Range = std::pair<uintptr_t, uintptr_t>;

// Where the programs' and libraries' code lies.
const std::vector<Range>& CodeRanges() {
  static const auto* const ranges = [] {
    auto* found = new std::vector<Range>;
    dl_iterate_phdr(
        [](dl_phdr_info* object, size_t, void* to) {
          for (int i = 0; i < object->dlpi_phnum; ++i) {
            const ElfW(Phdr)& part = object->dlpi_phdr[i];
            const uintptr_t begin = object->dlpi_addr + part.p_vaddr;
            if (part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0) {
              static_cast<std::vector<Range>*>(to)->emplace_back(begin, begin + part.p_memsz);
            }
          }
          return 0;
        },
        found);
    return found;
  }();
  return *ranges;
}

bool IsCode(Run run) {
  const auto address = reinterpret_cast<uintptr_t>(run);
  for (const auto& [begin, end] : CodeRanges()) {
    if (address >= begin && address < end) return true;
  }
  return false;
}

// A tag of a queue that calls back names the function to call. gRPC's headers have two of them, and
// its libraries their own copies: each gets a place, and a function that stands before it.
constexpr size_t kPlaces = 16;
std::array<std::atomic<Run>, kPlaces> places;

template <size_t place>
void Complete(grpc_completion_queue_functor* functor, int ok) {
  __tsan_acquire(functor);
  places[place].load()(functor, ok);
}

template <size_t... place>
constexpr std::array<Run, kPlaces> MakeComplete(std::index_sequence<place...>) {
  return {&Complete<place>...};
}
constexpr std::array<Run, kPlaces> kComplete = MakeComplete(std::make_index_sequence<kPlaces>());

Run BeforeIt(Run run) {
  for (size_t i = 0; i < kPlaces; ++i) {
    if (run == kComplete[i]) return run;
  }
  for (size_t i = 0; i < kPlaces; ++i) {
    Run known = nullptr;
    if (places[i].compare_exchange_strong(known, run) || known == run) return kComplete[i];
  }
  std::abort();
}

void Started(void* tag) {
  if (tag == nullptr) return;
  auto* const functor = static_cast<grpc_completion_queue_functor*>(tag);
  // A tag of a queue that is waited at begins with the address of a table, which is no code.
  if (IsCode(functor->functor_run)) functor->functor_run = BeforeIt(functor->functor_run);
  __tsan_release(tag);
}

// Constants have 1 for a count, and what fits into the slice itself has none.
bool IsShared(const grpc_slice& slice) { return reinterpret_cast<uintptr_t>(slice.refcount) > 1; }

void Sent(const grpc_op& op) {
  if (op.op != GRPC_OP_SEND_MESSAGE) return;
  const grpc_slice_buffer& sent = op.data.send_message.send_message->data.raw.slice_buffer;
  for (size_t i = 0; i < sent.count; ++i) {
    if (IsShared(sent.slices[i])) __tsan_release(sent.slices[i].refcount);
  }
}

grpc_event Completed(grpc_event event) {
  if (event.type == GRPC_OP_COMPLETE && event.tag != nullptr) __tsan_acquire(event.tag);
  return event;
}

// Stands for the end of all calls that servers took.
char calls_ended;

template <typename Function>
Function* Original(const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                      void* reserved) {
  static auto* const start = Original("grpc_call_start_batch", &grpc_call_start_batch);
  for (size_t i = 0; i < count; ++i) Sent(ops[i]);
  Started(tag);
  return start(call, ops, count, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                      void* reserved) {
  static auto* const next = Original("grpc_completion_queue_next", &grpc_completion_queue_next);
  return Completed(next(queue, deadline, reserved));
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static auto* const pluck = Original("grpc_completion_queue_pluck", &grpc_completion_queue_pluck);
  return Completed(pluck(queue, tag, deadline, reserved));
}

// Not in a public header.
uint8_t grpc_call_is_client(grpc_call* call);

void grpc_call_unref(grpc_call* call) {
  static auto* const unref = Original("grpc_call_unref", &grpc_call_unref);
  if (!grpc_call_is_client(call)) __tsan_release(&calls_ended);
  unref(call);
}

void grpc_server_destroy(grpc_server* server) {
  static auto* const destroy = Original("grpc_server_destroy", &grpc_server_destroy);
  __tsan_acquire(&calls_ended);
  destroy(server);
}

void grpc_slice_unref(grpc_slice slice) {
  static auto* const unref = Original("grpc_slice_unref", &grpc_slice_unref);
  if (IsShared(slice)) {
    __tsan_release(slice.refcount);
    __tsan_acquire(slice.refcount);
  }
  unref(slice);
}

int grpc_byte_buffer_reader_next(grpc_byte_buffer_reader* reader, grpc_slice* slice) {
  static auto* const next = Original("grpc_byte_buffer_reader_next", &grpc_byte_buffer_reader_next);
  const int found = next(reader, slice);
  if (found != 0 && IsShared(*slice)) __tsan_acquire(slice->refcount);
  return found;
}

int grpc_byte_buffer_reader_peek(grpc_byte_buffer_reader* reader, grpc_slice** slice) {
  static auto* const peek = Original("grpc_byte_buffer_reader_peek", &grpc_byte_buffer_reader_peek);
  const int found = peek(reader, slice);
  if (found != 0 && IsShared(**slice)) __tsan_acquire((*slice)->refcount);
  return found;
}

namespace grpc::internal {

// Each reaction counts down when it is over, and the last schedules OnDone. Where that is the
// library's own, for a call's end, it counts unseen; so it does after OnCancel, which is run as the
// library does it, on a thread that holds no lock of its own.
void ServerCallbackCall::ScheduleOnDone(bool inline_ondone) {
  using Schedule = void(ServerCallbackCall*, bool);
  static auto* const schedule = Original("_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb",
                                         static_cast<Schedule*>(nullptr));
  __tsan_acquire(&callbacks_outstanding_);
  schedule(this, inline_ondone);
}

void ServerCallbackCall::CallOnCancel(ServerReactor* reactor) {
  if (reactor->InternalInlineable()) return reactor->OnCancel();
  Ref();
  std::thread([this, reactor] {
    reactor->OnCancel();
    MaybeDone(/*inline_ondone=*/true);
  }).detach();
}

// The handler of generic services is compiled in the library: here it is compiled to be seen.
template class CallbackBidiHandler<ByteBuffer, ByteBuffer>;

}  // namespace grpc::internal
