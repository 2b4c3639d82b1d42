// Pictures of clips: animated thumbnails, and all frames of one clip for exact playback.
import { h } from "../studio.js";

const KEPT = 6; // films kept in memory; one of 32 frames takes up to 19 MB
const THUMBNAIL_SECONDS = 0.16; // per frame

/** The URL of a clip's 'thumbnail', 'sheet' or 'video'. `clip` is a card: { clip_id, edition }. */
export function mediaUrl(clip, kind) {
  return `./studio/clip/${encodeURIComponent(clip.clip_id)}/${kind}?e=${encodeURIComponent(clip.edition)}`;
}

// -- thumbnails

/** @type {IntersectionObserver | null} */
let watcher = null;
/** Loaders of thumbnails that have not come near the viewport yet. @type {WeakMap<Element, () => void>} */
const unfetched = new WeakMap();

/** An animated thumbnail that plays while it is visible; it is loaded when it comes near the viewport. */
export function movingThumbnail(clip) {
  const strip = h("span.thumb-strip");
  const node = h("span.thumb", { "aria-hidden": "true" }, strip);
  unfetched.set(node, () => loadThumbnail(clip, strip));
  watcher ??= new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        target.classList.toggle("on-screen", isIntersecting);
        if (!isIntersecting) continue;
        unfetched.get(target)?.();
        unfetched.delete(target);
      }
    },
    { rootMargin: "120px" },
  );
  watcher.observe(node);
  return node;
}

/** Stop observing thumbnails that are about to be removed. */
export function dropThumbnails(parent) {
  for (const node of parent.querySelectorAll(".thumb")) watcher?.unobserve(node);
}

/** Fetch a thumbnail before it is needed. */
export function prefetchThumbnail(clip) {
  new Image().src = mediaUrl(clip, "thumbnail");
}

function loadThumbnail(clip, strip) {
  const frames = clip.thumbnail_frames;
  const picture = new Image();
  picture.onload = () => {
    const ratio = picture.naturalWidth / frames / picture.naturalHeight;
    Object.assign(strip.style, {
      backgroundImage: `url("${picture.src}")`,
      backgroundSize: `${100 * frames}% 100%`,
      aspectRatio: String(ratio),
      [ratio > 1 ? "width" : "height"]: "100%",
    });
    if (frames < 2) return;
    // important, so that hovering plays it at the right speed even if the user prefers reduced motion
    strip.style.setProperty("animation-timing-function", `steps(${frames}, jump-none)`, "important");
    strip.style.setProperty("animation-duration", `${frames * THUMBNAIL_SECONDS}s`, "important");
    strip.classList.add("moves");
  };
  picture.onerror = () => strip.replaceWith(h("span.thumb-missing", {}, "cannot be drawn"));
  picture.src = mediaUrl(clip, "thumbnail");
}

// -- all frames

const films = new Map();

/** All frames of a clip; rejects with the server's message if they cannot be loaded. */
export function loadFilm(clip) {
  const key = mediaUrl(clip, "sheet");
  const kept = films.get(key);
  films.delete(key);
  const film = kept ?? fetchFilm(key);
  films.set(key, film);
  film.catch(() => films.delete(key));
  while (films.size > KEPT) films.delete(films.keys().next().value);
  return film;
}

async function fetchFilm(address) {
  let reply;
  try {
    reply = await fetch(address);
  } catch {
    throw new Error("The studio is not responding, so the frames could not be loaded.");
  }
  if (!reply.ok) throw new Error((await reply.text()).slice(0, 500));
  const layout = JSON.parse(reply.headers.get("X-Sheet") ?? "");
  return new Film(layout, await createImageBitmap(await reply.blob()));
}

/** Frames of one clip: `frames` of `width` × `height` pixels. */
class Film {
  constructor({ frames, columns, width, height }, picture) {
    this.frames = frames;
    this.columns = columns;
    this.width = width;
    this.height = height;
    this.picture = picture;
  }

  /** Draw frame `index` (at most the last) pixel by pixel on a canvas, which is resized to fit. */
  draw(canvas, index) {
    const { width, height } = this;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.#copy(canvas, index, width, height);
  }

  /** A canvas `size` pixels high with frame `index`, for the strip. */
  small(index, size) {
    const canvas = h("canvas", { width: Math.max(1, Math.round((size * this.width) / this.height)), height: size });
    this.#copy(canvas, index, canvas.width, canvas.height);
    return canvas;
  }

  #copy(canvas, index, width, height) {
    const at = Math.max(0, Math.min(index, this.frames - 1));
    const [x, y] = [at % this.columns, Math.floor(at / this.columns)];
    const target = canvas.getContext("2d");
    target.imageSmoothingQuality = "high";
    target.drawImage(this.picture, x * this.width, y * this.height, this.width, this.height, 0, 0, width, height);
  }
}
