// The sequence of a replica's microbatches, over steps whose number of microbatches may change.

#include "runtime/data/batch_stream.h"

#include <cassert>
#include <optional>

namespace interlock {

BatchStream::BatchStream(std::shared_ptr<const Loader> loader, Request request)
    : ahead_({
                 .first = request.first_step <= request.last_step ? std::optional<Place>({request.first_step, 0})
                                                                  : std::nullopt,
                 .next = [loader, last = request.last_step](const Place& place) -> std::optional<Place> {
                   const auto [step, microbatch] = place;
                   if (microbatch + 1 < loader->microbatches(step)) return Place{step, microbatch + 1};
                   if (step < last) return Place{step + 1, 0};
                   return std::nullopt;
                 },
                 .make =
                     [loader, replica = request.replica, parts = std::move(request.parts)](const Place& place) {
                       return loader->training(place.first, replica, place.second, parts(place.first));
                     },
             },
             request.ahead) {}

}  // namespace interlock
