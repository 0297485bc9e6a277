/* moe.cu: which experts a row goes to, in what order their rows lie, and their sum (src/cpu/moe.c). The
 * products between are those of linear_codes.cu and linear_float.cu with one matrix per expert. */
#include "cuda/gpu.cuh"

/* A warp per row: softmax in 16 lanes as on the CPU, then the n_used largest, ties to the lower index,
 * normalised and scaled in the order they were chosen; kept in the order of experts. */
PN_KERNEL(pn_route, pn_cuda_route_args, PN_CUDA_BLOCK) {
    PN_SHARED(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int row = blockIdx.x * (PN_CUDA_BLOCK / 32) + warp;
    if (row >= a.n_rows) return;
    int *chosen = reinterpret_cast<int *>(memory) + warp * 2 * PN_CUDA_MAX_USED;
    float *weights = reinterpret_cast<float *>(chosen + PN_CUDA_MAX_USED);
    float *scores = a.scores + (size_t)row * (size_t)a.n_expert;
    const float minus_infinity = __uint_as_float(0xff800000u);
    float max = minus_infinity;
    for (int e = lane; e < a.n_expert; e += 32) max = scores[e] > max ? scores[e] : max;
    for (int bits = 16; bits > 0; bits /= 2) {
        const float other = __shfl_xor_sync(PN_LANES_ALL, max, bits);
        max = max > other ? max : other;
    }
    float sum = 0.0f; /* both halves of the warp do the same */
    for (int e = lane % 16; e < (a.n_expert + 15) / 16 * 16; e += 16) {
        const float x = pn_exp((e < a.n_expert ? scores[e] : minus_infinity) - max);
        sum += x;
        __syncwarp();
        if (e < a.n_expert && lane < 16) scores[e] = x;
    }
    sum = pn_sum_16(sum);
    __syncwarp();
    for (int e = lane; e < a.n_expert; e += 32) scores[e] /= sum;
    __syncwarp();
    if (lane != 0) return;
    float total = 0.0f;
    for (int u = 0; u < a.n_used; u++) {
        int best = -1;
        for (int e = 0; e < a.n_expert; e++) {
            bool is_taken = false;
            for (int t = 0; t < u; t++) is_taken = is_taken || chosen[t] == e;
            if (!is_taken && (best < 0 || scores[e] > scores[best])) best = e;
        }
        chosen[u] = best;
        weights[u] = scores[best];
        total += scores[best];
    }
    int *out = a.chosen + (size_t)row * (size_t)a.n_used;
    float *out_weights = a.weights + (size_t)row * (size_t)a.n_used;
    for (int u = 0; u < a.n_used; u++) {
        float weight = a.norm_weights ? weights[u] / total : weights[u];
        weight *= a.weight_scale;
        int place = 0;
        for (int t = 0; t < a.n_used; t++) place += chosen[t] < chosen[u];
        out[place] = chosen[u];
        out_weights[place] = weight;
    }
}

/* One block: counts the rows of each expert, then thread e lists those of expert e, ascending. */
PN_KERNEL(pn_group, pn_cuda_route_args, PN_CUDA_BLOCK) {
    for (int e = threadIdx.x; e < a.n_expert; e += PN_CUDA_BLOCK) {
        int n = 0;
        for (int i = 0; i < a.n_rows * a.n_used; i++) n += a.chosen[i] == e;
        a.first[e + 1] = n;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        a.first[0] = 0;
        for (int e = 0; e < a.n_expert; e++) a.first[e + 1] += a.first[e];
    }
    __syncthreads();
    for (int e = threadIdx.x; e < a.n_expert; e += PN_CUDA_BLOCK) {
        int at = a.first[e];
        for (int i = 0; i < a.n_rows * a.n_used; i++) {
            if (a.chosen[i] != e) continue;
            a.rows[at] = i / a.n_used;
            a.places[i] = at++;
        }
    }
}

/* A thread per output; experts in ascending order. */
PN_KERNEL(pn_combine, pn_cuda_combine_args, PN_CUDA_BLOCK) {
    const int i = blockIdx.x * PN_CUDA_BLOCK + threadIdx.x;
    if (i >= a.width) return;
    const size_t row = (size_t)blockIdx.y * (size_t)a.n_used;
    float sum = 0.0f;
    for (int u = 0; u < a.n_used; u++)
        sum =
            fmaf(a.weights[row + u], a.parts[(size_t)a.places[row + u] * (size_t)a.width + i], sum);
    a.out[(size_t)blockIdx.y * (size_t)a.width + i] = sum;
}
